print("done")

    def _perform_initialization(self):
        """Set up."""
        try:
            pass
        except Exception as e:
            logger.error(f"Initialization error: {e}")
            raise
