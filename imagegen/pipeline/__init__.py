"""The job: policy, prompt, drawing and delivery of one request."""
