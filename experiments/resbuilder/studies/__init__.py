"""Studies of chapter 6: what each part of the search does, and what makes it better."""
