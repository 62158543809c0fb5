"""The paper, readable in one sitting: levels, heads, losses, and the learner that joins them."""
