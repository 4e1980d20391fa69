"""What only this tree needs: builds, benchmarks, the second implementation, and a Pico in software."""
