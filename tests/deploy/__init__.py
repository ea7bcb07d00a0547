"""Tests of what ships guardian: the compose file, the image, and every service's command on a real Kafka."""
