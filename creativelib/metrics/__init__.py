"""Quality of a set of pictures: pure functions on embeddings, whatever made the pictures."""
