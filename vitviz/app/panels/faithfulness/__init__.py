"""The Faithfulness panel: deletion and insertion curves of maps beside random orders."""
