"""Where tenants are declared, and how declarations become targets with final names."""
