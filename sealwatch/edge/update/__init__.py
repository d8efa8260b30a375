"""Updates of agent and model: two slots each, on trial until they have proved themselves, and a way back."""
