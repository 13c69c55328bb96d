"""HTTP: requests become asks, answers and failures become responses."""
