"""What is tidied up: old rows and images, users, prompts left on hosts."""
