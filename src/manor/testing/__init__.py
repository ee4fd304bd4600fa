"""What third parties and our own tests use to prove a driver: conformance suites and fakes."""
