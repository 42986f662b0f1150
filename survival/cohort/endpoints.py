"""The endpoints of follow-up that public clinical files have."""

# Death of any cause, death from the disease, progression, recurrence.
ENDPOINTS = ("OS", "DSS", "PFS", "DFS")
