"""A substitute for mkinitcpio where the real one is not in the image: same configuration, same decisions."""
