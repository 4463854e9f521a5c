"""What all benches share: rounds and ratios, the processes of a way, the machine they ran on."""
