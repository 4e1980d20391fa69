"""What IT chooses from: boards, and the plan of an office with its privacy budget."""
