"""What is stored, in a real server of S3: `make s3`."""
