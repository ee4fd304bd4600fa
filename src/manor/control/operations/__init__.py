"""One file per verb: each is a short function that calls its phases in order."""
