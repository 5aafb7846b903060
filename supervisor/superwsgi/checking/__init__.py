"""What is wrong with a site here, and what would run: for `superwsgi check`. Nothing is changed, nobody is
disturbed, and of the site only one mold is started, which loads the application and ends."""
