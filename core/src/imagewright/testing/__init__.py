"""The testing kit: what flavour packs and this project test themselves with (``imagewright.testing.plugin``)."""
