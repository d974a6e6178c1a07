"""Where images are kept: a directory or a bucket.

store.py: the interface of an image store, the names of images, and the errors.
filesystem.py: images as files in a directory.
s3.py: images as objects in a bucket.
image_links.py: signed addresses of images that the worker serves itself.
threads.py: the threads in which stores work, each call limited in time.
factory.py: opens the store that an address names.
"""
