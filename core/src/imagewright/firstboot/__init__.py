"""What runs first-boot scripts in a booted image: a unit and a runner, laid into the image when a flavour asks."""
