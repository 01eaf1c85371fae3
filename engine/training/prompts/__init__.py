"""What prompts are learnt from, and the fitting of `moods/presets/sentences.json`. Not shipped."""
