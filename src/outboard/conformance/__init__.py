"""The conformance kit: checks of vhost-user-gpu back-ends and front-ends, one fault each, with its document."""
