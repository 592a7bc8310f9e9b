"""The checks behind tools/tidy; each module is one family and knows nothing of the others."""
