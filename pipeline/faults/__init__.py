"""The catalogue of faults: known mistakes, each of which lint must name and a boot must show."""
