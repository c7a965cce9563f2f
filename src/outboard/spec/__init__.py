"""What the documents say: names, numbers, layouts, request tables. One module per document; no behaviour."""
