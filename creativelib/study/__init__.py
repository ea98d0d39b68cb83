"""A user study to run in class: what is shown to whom, votes that are not lost, the page that asks, and what the votes say."""
