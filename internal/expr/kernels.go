package expr

// allKernels gives the kernels by name, or by name and arguments where the
// overloads differ.
func allKernels() map[string]kernels {
	m := map[string]kernels{}
	compareKernels(m)
	arithKernels(m)
	decKernels(m)
	mathKernels(m)
	textKernels(m)
	regexKernels(m)
	timeKernels(m)
	formatKernels(m)
	arrayKernels(m)
	systemKernels(m, specs())
	return m
}
