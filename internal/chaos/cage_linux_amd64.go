package chaos

const sysSetns = 308
