# Prints generator_table.h: the odd multiples of secp256k1's generator that prepared_key_impl.h adds up, as constants of
# the library. The build runs it. CHUNKS, CHUNK_BITS, WINDOW are prepared_key.h's; what includes it compares the size.

CHUNKS, CHUNK_BITS, WINDOW = 4, 32, 6

P = 2**256 - 2**32 - 977
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(one, other):
    """The sum of two affine points, which are neither each other's negative nor at infinity."""
    (x1, y1), (x2, y2) = one, other
    slope = 3 * x1 * x1 * pow(2 * y1, -1, P) if one == other else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def odd_multiples(point):
    """1, 3, 5, … times a point, as many as a window of WINDOW bits has."""
    multiples, twice = [point], add(point, point)
    while len(multiples) < 1 << WINDOW - 2:
        multiples.append(add(multiples[-1], twice))
    return multiples


def table():
    """The odd multiples of 2^(CHUNK_BITS·i)·G, chunk by chunk."""
    points, base = [], G
    for _ in range(CHUNKS):
        points += odd_multiples(base)
        for _ in range(CHUNK_BITS):
            base = add(base, base)
    return points


def stored(point):
    """A point as C: sixteen words, the highest of x first."""
    words = [f"0x{number >> shift & 0xFFFFFFFF:08x}" for number in point for shift in range(224, -1, -32)]
    return f"    SECP256K1_GE_STORAGE_CONST({', '.join(words)})"


def main():
    print("// Made by generator_table.py.")
    print("#define GENERATOR_MULTIPLES \\")
    print(", \\\n".join(map(stored, table())))


if __name__ == "__main__":
    main()
