#pragma once
static inline int bad(int x) {
	return x +;
}
