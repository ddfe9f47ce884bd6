"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How long an example takes tells of the machine's other work, not of the code: benchmarks measure that.
settings.register_profile("dryboot", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dryboot")
