"""What a push takes from a model beside the emotion that it adds."""
