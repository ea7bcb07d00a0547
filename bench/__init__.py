"""Every figure that this project states, measured where it is stated."""
