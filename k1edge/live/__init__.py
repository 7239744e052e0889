"""One edge as pure decisions: who is driven and told what, and what is done when somebody asks. Layer: composition."""
