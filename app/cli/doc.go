// Package cli is what an operator can ask the binary for beside its roles: why an image is as it is, what the
// dead letters are about and how they go back, images failed by a bad release brought back, and a check of
// everything that is stored; how the service is just now, whether it works for a user, and who hears its alarms. It
// works on both backends through the ports, and through Store for what the roles have no right to do. Rules about
// images are the domain's; here they are asked for and reported.
package cli
