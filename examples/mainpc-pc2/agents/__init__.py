"""The agents of the example fleet: one module per subject, one class per kind of role."""
