"""The Logit lens panel: what the head would predict from the tokens after each layer."""
