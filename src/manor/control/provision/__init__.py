"""What deploy decides to do, as a pure plan."""
