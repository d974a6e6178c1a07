"""What a test's request is about to draw."""

from chatflow_hook import Rating
from imagegen.requests.repository import DrawingPlan

PLAN = DrawingPlan(seed=1, cache_key="0" * 64, rating=Rating.SAFE, scene=None)
