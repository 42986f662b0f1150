"""Manipulated photographs (thesis sec. 6.2.4): data that anyone can make, and their detection."""
