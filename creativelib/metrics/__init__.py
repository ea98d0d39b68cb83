"""How good a set of pictures is: pure functions on embeddings, whoever made them."""
