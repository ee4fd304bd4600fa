"""How a release is carried out: goldens first, then waves or one vote, recorded as it goes, settled after a death."""
