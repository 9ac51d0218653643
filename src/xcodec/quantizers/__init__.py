"""From continuous latents to discrete codes and back."""
