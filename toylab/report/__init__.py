"""From records to what a person looks at: claims, figures, results."""
