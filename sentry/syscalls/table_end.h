/* Ends a reading of table.def: drops the macros that its reader defined. Included once a reading,
 * hence no #pragma once. */
#undef ARG
#undef SYS0
#undef SYS1
#undef SYS2
#undef SYS3
#undef SYS4
#undef SYS5
#undef SYS6
