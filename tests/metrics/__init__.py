"""Every role's figures: promtool is content with them, and they tell the truth."""
