"""What people ask for: inventory, claims, runs, images, principals, history."""
