"""The job: policy, prompt, drawing and delivery of one request.

- `make_image.py`: the arq job, from the claim of a request to its end
- `context.py`: what all jobs of a worker share
- `stages.py`: measures and traces the stages of a request
- `quarantine.py`: runs requests under which workers died in groups
- `content_policy.py`: what may be drawn for a request, and how it is delivered
- `turn_reader.py`: reads what the hook has noted, and remembers who said to be under 18
- `image_spec.py`: what is drawn: the screened prompt, its rating and the seed
- `safety_audit.py`: writes what the content screen finds
- `generate.py`: from a claimed request to a stored image
- `early_task.py`: work that begins before its result is needed
- `image_fetch.py`: fetches what a prompt has made, as soon as its host names it
- `warming.py`: makes a host load the models of a persona
- `keep_warm.py`: does so on idle hosts, for personas that are kept warm
- `image_cache.py`: finds images that were drawn before
- `cost_limit.py`: the limit of what pictures may cost in a day
- `photo_message.py`: what a picture is sent with: caption and buttons
- `delivery_preparation.py`: decides how it is delivered, while it is drawn
- `deliver.py`: sends a stored image to its chat
- `chat_progress.py`: tells the chat how far its picture is
- `end_notices.py`: tells the chat that there is no picture
- `dry_run.py`: shows what would be drawn for a dialog, without drawing it
"""
